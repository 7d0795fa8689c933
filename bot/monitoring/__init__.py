"""Figures of the running bot for what operators watch already."""
