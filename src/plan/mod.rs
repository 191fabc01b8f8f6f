//! What is to be measured: axes, matrix files, and the cells they span. Pure: no IO, no clock.

pub mod axis;
