"""Training: state, step, loop, data parallelism, checkpoints, metric log.

Contract: `train(config, workdir)` is `fold_in` arithmetic over a pure step, so a run that was killed and started again
ends with the parameters of an uninterrupted one. A configuration is any object with the fields of `configs/default.py`.
"""
