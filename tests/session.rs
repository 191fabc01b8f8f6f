//! Sessions, against real browsers and against a scripted remote end.

#[path = "session/real.rs"]
mod real;
#[path = "session/remote_end.rs"]
mod remote_end;
#[path = "session/scripted.rs"]
mod scripted;
