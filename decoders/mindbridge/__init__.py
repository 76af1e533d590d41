"""MindBridge."""
