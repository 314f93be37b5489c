//! CRC-32C (Castagnoli), the checksum of Kafka's record batches: eight bytes a step by tables made at compile time.

const TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    const POLYNOMIAL: u32 = 0x82F6_3B78;
    let mut tables = [[0_u32; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][i] = crc;
        i += 1;
    }
    let mut t = 1;
    while t < 8 {
        let mut i = 0;
        while i < 256 {
            let before = tables[t - 1][i];
            tables[t][i] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            i += 1;
        }
        t += 1;
    }
    tables
}

/// The checksum of `bytes`.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    let (steps, rest) = bytes.as_chunks::<8>();
    for s in steps {
        let low = u32::from_le_bytes([s[0], s[1], s[2], s[3]]) ^ crc;
        let low = low.to_le_bytes();
        crc = TABLES[7][low[0] as usize]
            ^ TABLES[6][low[1] as usize]
            ^ TABLES[5][low[2] as usize]
            ^ TABLES[4][low[3] as usize]
            ^ TABLES[3][s[4] as usize]
            ^ TABLES[2][s[5] as usize]
            ^ TABLES[1][s[6] as usize]
            ^ TABLES[0][s[7] as usize];
    }
    for byte in rest {
        crc = (crc >> 8) ^ TABLES[0][((crc ^ u32::from(*byte)) & 0xff) as usize];
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_check_values() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(crc32c(&[0xff; 32]), 0x62A8_AB43);
        assert_eq!(crc32c(b""), 0);
    }
}
