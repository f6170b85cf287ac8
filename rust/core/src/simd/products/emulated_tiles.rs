//! The tile registers of AMX in software, so that its loops run, and are looked at by sanitizers, on a
//! processor without them.
//!
//! Such a processor refuses their instructions, and the system says so by a signal. Its handler does here
//! what the manual says of the instruction, and goes on behind it. Only those that our loops have are known,
//! with whole tiles alone; every one takes a thousand times as long. For tests: a build for users has none
//! of this.
#![allow(clippy::borrow_as_ptr, reason = "as the system's own functions are called")]

use std::cell::UnsafeCell;
use std::sync::OnceLock;

use super::{GROUP, GROUPS, LINE};

/// Rows of a tile.
const ROWS: usize = 16;
/// Where the system keeps the registers 0 to 15 of the processor, by their numbers in an instruction.
const REGISTERS: [i32; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

type Tile = [[u8; LINE]; ROWS];

/// The registers of one thread; `None` before they are configured and once they are released.
struct Tiles(UnsafeCell<Option<[Tile; 8]>>);

thread_local! {
    static TILES: Tiles = const { Tiles(UnsafeCell::new(None)) };
}

/// Has the instructions of tiles emulated from now on, in the whole process; says whether the system agrees.
pub fn begin() -> bool {
    static AGREED: OnceLock<bool> = OnceLock::new();
    *AGREED.get_or_init(|| {
        let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = on_refusal;
        // SAFETY: all bytes 0 are a valid action without flags; the handler has the form that `SA_SIGINFO`
        // asks for and stays for as long as the process.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as usize;
            action.sa_flags = libc::SA_SIGINFO;
            libc::sigaction(libc::SIGILL, &raw const action, std::ptr::null_mut()) == 0
        }
    })
}

/// An instruction that was refused. What is not ours is refused again, with the end that it has always had.
extern "C" fn on_refusal(_signal: i32, _about: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system passes a context of this type, which is ours until the handler returns.
    let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let at = registers[libc::REG_RIP as usize];
    // SAFETY: the processor has read an instruction there. The longest of ours has ten bytes, and behind it
    // stands what follows an instruction that is no jump.
    let bytes = unsafe { (at as *const [u8; 10]).read_unaligned() };
    let Some(instruction) = Instruction::read(&bytes) else {
        // SAFETY: no memory is passed.
        unsafe { libc::signal(libc::SIGILL, libc::SIG_DFL) };
        return;
    };
    let value = |number: usize| registers[REGISTERS[number] as usize] as usize;
    TILES.with(|tiles| {
        // SAFETY: of this thread alone, which stands at an instruction that is refused: no other reference
        // to its tiles is in use. The addresses are those of the instruction, whose promises hold here.
        unsafe { instruction.run(&mut *tiles.0.get(), value) }
    });
    registers[libc::REG_RIP as usize] = at + instruction.n_bytes as i64;
}

/// An instruction of tiles, as its bytes say it.
struct Instruction {
    operation: Operation,
    /// Numbers of registers: the one that is written or stored, and the two that are multiplied.
    tiles: [usize; 3],
    address: Address,
    n_bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    Configure,
    Release,
    Load,
    Store,
    /// Signed bytes by unsigned ones.
    Multiply,
}

/// Numbers of registers, `None` for one that is not there.
#[derive(Clone, Copy, Default)]
struct Address {
    base: usize,
    index: Option<usize>,
    scale: usize,
    displacement: isize,
}

impl Instruction {
    fn read(bytes: &[u8; 10]) -> Option<Self> {
        let &[0xC4, map, more, code, form, ..] = bytes else { return None };
        if map & 0x1F != 2 || more & 0b1000_0100 != 0 {
            return None;
        }
        let (is_memory, prefix) = (form >> 6 != 3, more & 3);
        let operation = match (code, prefix, is_memory) {
            (0x49, 0, true) => Operation::Configure,
            (0x49, 0, false) if form == 0xC0 => Operation::Release,
            (0x4B, 3, true) => Operation::Load,
            (0x4B, 2, true) => Operation::Store,
            (0x5E, 2, false) => Operation::Multiply,
            _ => return None,
        };
        let (address, n_of_address) =
            if is_memory { Address::read(map, &bytes[4..])? } else { Default::default() };
        let tiles = [form >> 3 & 7, form & 7, !(more >> 3) & 7].map(usize::from);
        Some(Self { operation, tiles, address, n_bytes: 5 + n_of_address })
    }

    /// # Safety
    /// Memory may be read, or written by a store, as the processor would.
    unsafe fn run(&self, tiles: &mut Option<[Tile; 8]>, value: impl Fn(usize) -> usize) {
        let [first, left, right] = self.tiles;
        let row = |row: usize| self.address.of_row(row, &value) as *mut [u8; LINE];
        match (self.operation, tiles) {
            (Operation::Configure, tiles) => {
                // SAFETY: the caller's promise.
                assert!(is_of_whole_tiles(&unsafe { row(0).read_unaligned() }), "others are not emulated");
                *tiles = Some([[[0; LINE]; ROWS]; 8]);
            }
            (Operation::Release, tiles) => *tiles = None,
            (_, None) => panic!("tiles are configured before they are used"),
            (Operation::Load, Some(tiles)) => {
                for (number, line) in tiles[first].iter_mut().enumerate() {
                    // SAFETY: the caller's promise.
                    *line = unsafe { row(number).read_unaligned() };
                }
            }
            (Operation::Store, Some(tiles)) => {
                for (number, line) in tiles[first].iter().enumerate() {
                    // SAFETY: the caller's promise.
                    unsafe { row(number).write_unaligned(*line) };
                }
            }
            (Operation::Multiply, Some(tiles)) => {
                assert!(first != left && first != right && left != right, "the processor refuses it");
                let (points, centers) = (tiles[left], tiles[right]);
                multiply(&mut tiles[first], &points, &centers);
            }
        }
    }
}

/// Whether 64 bytes say: palette 1, eight tiles of 16 rows of 64 bytes.
fn is_of_whole_tiles(configuration: &[u8; LINE]) -> bool {
    let is_whole = |tile: usize| {
        configuration[16 + 2 * tile..][..2] == [LINE as u8, 0] && configuration[48 + tile] == ROWS as u8
    };
    configuration[..2] == [1, 0] && (0..8).all(is_whole)
}

impl Address {
    /// The address and how many bytes it takes; `None` for a form that our loops do not have.
    fn read(map: u8, bytes: &[u8]) -> Option<(Self, usize)> {
        let (form, has_index, extends_base) = (bytes[0], bytes[0] & 7 == 4, map & 0x20 == 0);
        let mut address = Self { scale: 1, ..Self::default() };
        let base = if has_index { bytes[1] } else { form };
        address.base = usize::from(base & 7) + 8 * usize::from(extends_base);
        if has_index {
            let number = usize::from(bytes[1] >> 3 & 7) + 8 * usize::from(map & 0x40 == 0);
            address.index = (number != 4).then_some(number);
            address.scale = 1 << (bytes[1] >> 6);
        }
        let start = 1 + usize::from(has_index);
        let n_bytes = match form >> 6 {
            0 if base & 7 == 5 => return None,
            0 => 0,
            1 => {
                address.displacement = isize::from(bytes[start] as i8);
                1
            }
            _ => {
                let bytes = bytes[start..].first_chunk()?;
                address.displacement = i32::from_le_bytes(*bytes) as isize;
                4
            }
        };
        Some((address, usize::from(has_index) + n_bytes))
    }

    /// Where a row of a tile stands: the index is the distance between two.
    fn of_row(self, row: usize, value: impl Fn(usize) -> usize) -> usize {
        let distance = self.index.map_or(0, |index| value(index).wrapping_mul(self.scale));
        value(self.base).wrapping_add_signed(self.displacement).wrapping_add(distance.wrapping_mul(row))
    }
}

/// To every sum, groups of four signed bytes of a row by groups of four unsigned ones of a column.
fn multiply(sums: &mut Tile, points: &Tile, centers: &Tile) {
    for (sums, point) in sums.iter_mut().zip(points) {
        for (column, sum) in sums.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
            let mut total = i32::from_le_bytes(*sum);
            for group in 0..GROUPS {
                for place in 0..GROUP {
                    let point = i32::from(point[GROUP * group + place] as i8);
                    total = total.wrapping_add(point * i32::from(centers[group][GROUP * column + place]));
                }
            }
            *sum = total.to_le_bytes();
        }
    }
}
