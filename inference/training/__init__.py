"""Making a model directory: conversion, heads, calibration. Needs the `train` extra; serving imports nothing of it."""
