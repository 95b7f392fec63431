namespace Nanograd

#nowarn "9" // memory is copied through native pointers
#nowarn "51"

open System
open Microsoft.FSharp.NativeInterop

/// Values on their way into a program that may overwrite them.
[<RequireQualifiedAccess>]
module Values =
    let private copy (t: Tensor) =
        let source = Program.storage t
        let target = Buffers.allocate t.DType source.Length
        let bytes = int64 source.Length * int64 (DType.size t.DType)
        let pointer (s: Storage) = NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> s.Pointer)
        Buffer.MemoryCopy(pointer source, pointer target, bytes, bytes)
        GC.KeepAlive source
        GC.KeepAlive target
        Op.literal target t.Shape

    /// The tree evaluated, every tensor in memory that nothing else uses: equal expressions (two zeros of one shape)
    /// would otherwise share theirs, and only memory of one's own may be donated.
    let own (tree: 'T) : 'T = Tree.map copy (eval tree)
