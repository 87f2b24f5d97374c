// A few workers, each with one picture at a time; pictures wait for a free one in the order they came.

import { revive, UnsupportedBrowser } from "./errors.js";

export class Pool {
  /** `start` gives a promise of a worker. */
  constructor(start, size) {
    this.start = start;
    this.size = size;
    this.idle = [];
    this.count = 0; // workers that live or start
    this.waiting = [];
    this.jobs = 0;
  }

  /** A picture; `find` gives weights by id, `onStage` gets earlier pictures. Rejects with the signal's reason. */
  decode(bytes, options, { find, onStage, signal }) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const task = { job: ++this.jobs, bytes, options, find, onStage, resolve, reject, worker: null };
      task.abort = () => this.abort(task, signal.reason);
      signal?.addEventListener("abort", task.abort);
      task.release = () => signal?.removeEventListener("abort", task.abort);
      this.waiting.push(task);
      this.next();
    });
  }

  next() {
    if (!this.waiting.length) return;
    const worker = this.idle.pop();
    if (worker) this.give(worker, this.waiting.shift());
    else if (this.count < this.size) this.add();
  }

  async add() {
    this.count++;
    try {
      this.idle.push(await this.start());
    } catch (error) {
      this.count--;
      const task = this.waiting.shift();
      task?.release();
      task?.reject(error);
    }
    this.next();
  }

  give(worker, task) {
    task.worker = worker;
    worker.onmessage = ({ data }) => this.hear(task, data);
    worker.onerror = (event) => {
      event.preventDefault?.();
      this.drop(task);
      task.reject(new UnsupportedBrowser(`the decoder's worker failed: ${event.message || "it does not start"}`));
      this.next();
    };
    worker.postMessage({ job: task.job, bytes: task.bytes, options: task.options });
  }

  async hear(task, { need, stage, picture, error }) {
    if (need) {
      const answer = await task.find(need).then(
        (weights) => ({ id: need, weights }),
        ({ name, message }) => ({ id: need, error: { name, message } }),
      );
      if (task.worker) task.worker.postMessage(answer);
    } else if (stage) {
      task.onStage(picture, stage);
    } else {
      task.release();
      const { worker } = task;
      task.worker = null;
      this.idle.push(worker);
      if (error) task.reject(revive(error));
      else task.resolve(picture);
      this.next();
    }
  }

  /** Ends the task; its worker, if it has one, has to go with it. */
  abort(task, reason) {
    if (task.worker) this.drop(task);
    else this.waiting = this.waiting.filter((other) => other !== task);
    task.release();
    task.reject(reason);
    this.next();
  }

  drop(task) {
    task.release();
    task.worker.terminate();
    task.worker = null;
    this.count--;
  }
}
