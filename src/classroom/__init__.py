"""Release the assignments, collect what students hand in, grade it safely, report.

nbgrader does the work; what stands here is what it leaves to its users: `release`, `collect`, the
sandbox for code that nobody has read (`sandbox`, `integrity`, `execute`), one submission as one job
(`one`) and the results (`report`). `course` says where things lie. Only `release` needs `tools`,
and so the folder of the project; nothing in `tools` needs this package.
"""
