"""Solvers that systems share: ridge regression and its kin, nearest neighbours, saved spaces."""
