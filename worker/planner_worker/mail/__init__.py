"""Mail: the server it goes to, the connections to it, what its replies mean, and the letters themselves.

`planner_worker.channels.email` puts them together.
"""
