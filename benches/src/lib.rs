//! One honest harness for every figure
