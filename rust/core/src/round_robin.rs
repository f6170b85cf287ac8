//! Take turns across tasks.
