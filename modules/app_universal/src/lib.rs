//! Universal variables and shared registrations inside Asterisk
