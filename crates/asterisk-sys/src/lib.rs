//! Raw bindings to the headers of the Asterisk it is built for
