//! Kernel input devices by uinput
