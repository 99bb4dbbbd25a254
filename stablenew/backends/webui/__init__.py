"""Servers that people run: AUTOMATIC1111, Forge, reForge, SD.Next, stable-diffusion.cpp."""
