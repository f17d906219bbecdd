"""Registered losses and heads."""
