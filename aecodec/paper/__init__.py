"""Reproduces "Project 1: Auto-encoders", the student paper behind this project.

`dataset` builds its data set, `table3` trains its four auto-encoders and draws Figure 1, `claim` checks its 99 %.
"""
