"""Examples of asking a model for predictions, in several languages, made from the model's own signature.

``python -m include.serving.clients <model>`` prints them.
"""
