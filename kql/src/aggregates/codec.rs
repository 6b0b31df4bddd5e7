//! How states are written down between the stages of an aggregation.

/// Appends numbers and texts.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    pub(crate) fn long(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn real(&mut self, value: f64) -> &mut Self {
        self.long(value.to_bits())
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.long(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// Goes on behind what was written before.
    pub(crate) fn after(written: Vec<u8>) -> Self {
        Writer(written)
    }

    /// What was written before, by another.
    pub(crate) fn written(&mut self, value: &[u8]) -> &mut Self {
        self.0.extend_from_slice(value);
        self
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads them back; past the end everything is zero and empty.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn long(&mut self) -> u64 {
        match self.0.split_first_chunk::<8>() {
            Some((chunk, rest)) => {
                self.0 = rest;
                u64::from_le_bytes(*chunk)
            }
            None => {
                self.0 = &[];
                0
            }
        }
    }

    pub(crate) fn real(&mut self) -> f64 {
        f64::from_bits(self.long())
    }

    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        let length = usize::try_from(self.long()).unwrap_or(usize::MAX).min(self.0.len());
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    pub(crate) fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
