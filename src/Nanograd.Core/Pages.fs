namespace Nanograd

open System
open System.Runtime.InteropServices
open Microsoft.FSharp.NativeInterop

/// Memory straight from the system. On Linux large pieces start at a boundary of 2 MiB and ask for huge pages: filling fresh memory
/// page by page costs far more than the work on it. Elsewhere, and for small pieces, it is the runtime's allocator.
[<RequireQualifiedAccess>]
module internal Pages =
    [<DllImport("libc", EntryPoint = "mmap")>]
    extern nativeint private map(
        nativeint address,
        unativeint length,
        int protection,
        int flags,
        int file,
        nativeint offset
    )

    [<DllImport("libc", EntryPoint = "munmap")>]
    extern int private unmap(nativeint address, unativeint length)

    [<DllImport("libc", EntryPoint = "madvise")>]
    extern int private advise(nativeint address, unativeint length, int advice)

    let private huge = 2L <<< 20
    let private isMapped (bytes: int64) = bytes >= huge && OperatingSystem.IsLinux()
    let private pointer (address: nativeint) = NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> address)

    let private mapped (bytes: int64) : nativeint =
        let whole = bytes + huge
        let start = map (0n, unativeint whole, 3, 0x22, -1, 0n) // to read and write; private and anonymous
        if start = -1n then raise (OutOfMemoryException())
        // What lies before the boundary and behind the end goes back; it was never touched.
        let first = (start + nativeint (huge - 1L)) / nativeint huge * nativeint huge
        let before = first - start
        if before > 0n then unmap (start, unativeint before) |> ignore
        unmap (first + nativeint bytes, unativeint (huge - int64 before)) |> ignore
        advise (first, unativeint bytes, 14) |> ignore // huge pages are a wish; a system without them refuses
        first

    /// Memory aligned to 64 bytes, of a size that is a multiple of the system's pages if it is 2 MiB or more.
    let take (bytes: int64) : nativeint =
        if isMapped bytes then
            mapped bytes
        else
            NativePtr.toNativeInt (NativePtr.ofVoidPtr<byte>(NativeMemory.AlignedAlloc(unativeint bytes, 64un)))

    let giveBack (address: nativeint) (bytes: int64) =
        if isMapped bytes then
            unmap (address, unativeint bytes) |> ignore
        else
            NativeMemory.AlignedFree(pointer address)
