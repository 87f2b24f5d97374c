"""Looks at a run from outside: reports, validation, contact sheets. Changes nothing in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from aecodec.train.checkpoint import State
from aecodec.train.data import Dataset
from aecodec.train.evaluate import central_crops
from aecodec.train.evaluate import measure
from aecodec.train.evaluate import write_contact_sheet
from aecodec.train.progress import Log
from aecodec.train.progress import Meter
from aecodec.train.progress import Step
from aecodec.train.progress import Terminal
from aecodec.train.progress import Timer
from aecodec.train.progress import status_line
from aecodec.train.progress import validation_line
from aecodec.train.schedule import Budget

REPORT_SECONDS = 60.0

VALIDATION_PICTURES = 64
VALIDATION_SECONDS = 300.0
VALIDATION_SHARE = 0.04  # of the time: where a validation takes long, they come further apart

SHEET_PICTURES = 6
SHEET_SECONDS = 1200.0
FIRST_SHEET_STEP = 50


class Observer:
    """Told of every step, it does what is due."""

    def __init__(
        self,
        state: State,
        dataset: Dataset,
        budget: Budget,
        log: Log,
        terminal: Terminal,
        sheet_path: Callable[[int], Path],
        interrupted: Callable[[], bool],
    ) -> None:
        """`sheet_path` names the contact sheet of a step; `interrupted` ends a validation early."""
        self.budget = budget
        self._state = state
        self._log = log
        self._terminal = terminal
        self._sheet_path = sheet_path
        self._interrupted = interrupted
        self._meter = Meter()
        self._learning_rate = 0.0
        self._validation = central_crops(dataset.validation, VALIDATION_PICTURES)
        self._training = central_crops(dataset.training, len(self._validation))
        self._shown = central_crops(dataset.validation or dataset.training, SHEET_PICTURES)
        self._report_timer = Timer(REPORT_SECONDS)
        self._validation_timer = Timer(VALIDATION_SECONDS)
        self._sheet_timer = Timer(SHEET_SECONDS)

    def look(self, step: Step) -> None:
        """After each step."""
        self._meter.add(step)
        self._learning_rate = step.learning_rate
        if self._terminal.wants_update():
            self._terminal.update(self._status())
        if self._report_timer.due():
            self._report()
        if self._validation_timer.due():
            self._validate()
        if is_early_sheet(self._state.counters.step) or self._sheet_timer.due():
            self._write_sheet()

    def conclude(self) -> None:
        """After the last step: a report, and the rest unless the user wants the process to end."""
        self._report()
        if not self._interrupted():
            self._validate()
            self._write_sheet()

    def _status(self) -> str:
        counters = self._state.counters
        seconds_left = self.budget.seconds_left(counters, self._meter.seconds_per_step)
        return status_line(counters, self._meter.means(), seconds_left)

    def _report(self) -> None:
        """The means since the last report: one line in the log, and on the terminal where none is updated."""
        means = self._meter.means()
        if means:
            self._log.write(self._state.counters, **means, learning_rate=self._learning_rate)
        if self._terminal.updates:
            self._terminal.update(self._status())
        else:
            self._terminal.say(self._status())
        self._meter.clear()

    def _validate(self) -> None:
        """Measure the validation part, and as many training pictures the same way."""
        if not self._validation:
            return
        state, started = self._state, time.monotonic()
        parts = []
        for crops in (self._validation, self._training):
            part = measure(state.model, crops, state.device, plain=state.is_plain, interrupted=self._interrupted)
            if part is None:
                return
            parts.append(part)
        self._log.write_validation(state.counters, *parts)
        self._terminal.say(validation_line(*parts))
        self._validation_timer.restart(max(VALIDATION_SECONDS, (time.monotonic() - started) / VALIDATION_SHARE))

    def _write_sheet(self) -> None:
        state = self._state
        path = self._sheet_path(state.counters.step)
        write_contact_sheet(path, state.model, self._shown, state.device, plain=state.is_plain)
        self._sheet_timer.restart(SHEET_SECONDS)


def is_early_sheet(step: int) -> bool:
    """Steps 50, 100, 200, 400, ...: a network changes most in its first steps."""
    return step % FIRST_SHEET_STEP == 0 and (step // FIRST_SHEET_STEP).bit_count() == 1
