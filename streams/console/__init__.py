"""The console: where people see the stream, decide, and follow how it is going.

server       the process: it opens everything, serves, and ends without losing a verdict
application  routes, middlewares, and what the handlers share
access       who asks, what they may do, and what every request must show
api/         one module per part of the JSON API
live         server-sent events; a browser that is too slow is dropped
holding      verdicts that may still be undone, in a file that survives the process
claims       who is looking at which case
why          what spoke for a proposal, and settled cases like this one
figures      how it is going
"""
