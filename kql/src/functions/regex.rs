//! Stub.
pub(super) fn functions() -> Vec<super::Function> {
    Vec::new()
}
