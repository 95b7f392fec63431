namespace Nanograd.Simd

open System
open System.Collections.Generic
open System.Runtime.InteropServices
open Microsoft.FSharp.NativeInterop

/// A block of native memory, aligned to 128 bytes, that grows on demand and is kept for reuse.
[<Sealed>]
type NativeBuffer() =
    let mutable address = 0n
    let mutable capacity = 0L

    static let pointer (address: nativeint) = NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> address)

    /// The address of at least this many bytes. What the buffer held before is lost when it grows.
    member _.Reserve(bytes: int64) : nativeint =
        if bytes > capacity then
            NativeMemory.AlignedFree(pointer address)
            capacity <- 0L
            address <-
                NativePtr.toNativeInt (NativePtr.ofVoidPtr<byte>(NativeMemory.AlignedAlloc(unativeint bytes, 128un)))
            capacity <- bytes

        address

    override _.Finalize() = NativeMemory.AlignedFree(pointer address)

/// Objects that a thread keeps for its next need. Rented and returned like a stack, so a product that starts inside
/// another product's epilogue gets its own; nothing is allocated once the stack is warm.
[<Sealed; AbstractClass>]
type Rental<'T when 'T: (new: unit -> 'T)> private () =
    [<ThreadStatic; DefaultValue>]
    static val mutable private free: Stack<'T> | null

    /// An object that nobody else uses until it is returned.
    static member Rent() : 'T =
        match Rental<'T>.free with
        | null -> new 'T()
        | free -> if free.Count = 0 then new 'T() else free.Pop()

    /// Gives an object back, on the thread that rented it.
    static member Return(item: 'T) =
        match Rental<'T>.free with
        | null ->
            let free = Stack<'T>()
            free.Push item
            Rental<'T>.free <- free
        | free -> free.Push item
