"""Settings of every test run.

nbval executes each chapter and compares every text output with the stored one, after the
replacements of tests/chapters/nbval_sanitize.cfg. The tags of a cell change that, see TAGS in
tools/rules.py: where output is not compared, the rules ask for an `assert` in the same section, and
allow `data-dependent` only in chapters that use images.
"""

import os

import nbval.plugin

os.environ["NORMLAB_DATA"] = "shapes"  # no test needs CIFAR-10 or a network
os.environ["NORMLAB_QUICK"] = "1"  # fewer seeds and epochs where a chapter allows it
os.environ["TQDM_DISABLE"] = "1"  # progress bars would be output to compare
os.environ["OMP_NUM_THREADS"] = "1"  # one thread for each of the two processes
os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # kernels of this environment

nbval.plugin.metadata_tags["data-dependent"] = ("check", False)
