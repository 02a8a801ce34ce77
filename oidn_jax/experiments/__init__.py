"""Suites of trainings that answer one question each, and their report.

Contract: a suite is a list of named changes to one configuration (`suites`), trained from several seeds each and tested
on the same held-out scenes (`running`); what has been done is not done again, so a suite that was stopped goes on. The
report has mean and spread over the seeds, and the figures of an evaluation of the first seed (`report`).
"""
