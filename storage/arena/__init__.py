"""Blind comparisons of models: the bot's door to them."""
