//! A safe wrapper to write Asterisk modules with
