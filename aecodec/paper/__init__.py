"""The paper that the project began with ("Project 1: Auto-encoders"), reproduced: its data set."""
