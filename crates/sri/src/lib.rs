//! Shared registrations: which key, which value, how long, and who owns it
