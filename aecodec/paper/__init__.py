"""The paper that the project began with ("Project 1: Auto-encoders"), reproduced.

`dataset` builds its data set, `table3` trains its four auto-encoders and draws Figure 1, `claim` checks its 99 %.
"""
