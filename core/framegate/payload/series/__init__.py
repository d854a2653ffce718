"""Time series, the second kind of payload: vibration, current, whatever is sampled evenly."""
