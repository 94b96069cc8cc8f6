"""Tests that kill workers and stop brokers."""
