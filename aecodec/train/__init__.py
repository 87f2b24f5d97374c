"""Makes weights: float networks, data, the training loop, export to integers. Needs torch; nothing else imports it."""
