namespace Nanograd

#nowarn "9" // memory is copied through native pointers
#nowarn "51"

open System
open System.Collections.Generic
open Microsoft.FSharp.NativeInterop

/// Values on their way into a program that may overwrite them.
// Core has functions of this name, too: C# must be able to tell them apart.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
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

    /// The tree evaluated, every tensor in memory that nothing else uses: values are copied, and so are equal expressions (two zeros
    /// of one shape), which evaluation computes once. Only memory of one's own may be donated.
    let own (tree: 'T) : 'T =
        let leaves = Tree.leaves tree
        let used = HashSet<Storage>(HashIdentity.Reference)
        for t in leaves do
            match t.Op with
            | Op.Literal s -> used.Add s |> ignore
            | _ -> ()
        let own (t: Tensor) = if used.Add(Program.storage t) then t else copy t
        Program.evaluate leaves |> Array.map own |> Tree.rebuild tree
