"""Vectors of rarely recalled memories take less room: float32, float16, int8, or the sign of each number."""
