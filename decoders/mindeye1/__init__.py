"""MindEye1."""
