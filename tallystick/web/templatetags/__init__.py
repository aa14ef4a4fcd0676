"""What templates may call: how the house writes amounts, times, ids and states."""
