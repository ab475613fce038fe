"""Networks that leave this project: symbols, ONNX, and the Predictor that runs them.

May import every room but `commands`.
"""
