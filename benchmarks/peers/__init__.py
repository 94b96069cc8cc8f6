"""`python -m benchmarks.peers`: other ways to do the same job, on the same events, in one run.

Each peer is what an engineer would write in an afternoon around one well-kept library. All peers
share one worker (`worker.py`), so only the classifier differs. Each has a virtual environment of
its own below `build/peers`, which is made when it is first needed. A peer answers the queue alone:
no other axis, no calibration, no promise, no revisions, no audit chain.

`worker.py`, `models.py` and `fitting.py` run in these environments. They import nothing of the
product.
"""
