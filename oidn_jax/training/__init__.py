"""Training: settings, state, step, loop, data parallelism, checkpoints, metric log.

Contract: `train(run, workdir)` is `fold_in` arithmetic over a pure step, so a run that was killed and started again
ends with the parameters of an uninterrupted one. Batches come from a function of the step (`batches`).
"""
