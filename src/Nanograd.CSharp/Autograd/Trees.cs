using System.Collections.Concurrent;
using System.Runtime.CompilerServices;

namespace Nanograd.CSharp;

/// <summary>Values of type <typeparamref name="T"/> as trees: a tensor, or an array or a value tuple of trees.</summary>
internal static class Trees<T>
{
    private static Tree Kind => Tree.Of(typeof(T));

    /// <summary>The tensors, in order.</summary>
    public static Tensor[] Leaves(T value)
    {
        var leaves = new List<(string, Tensor)>();
        Kind.Walk(value, "", leaves);
        return [.. leaves.Select(l => l.Item2)];
    }

    /// <summary>The places of the tensors: <c>1.0</c> is the first of the second component; a single tensor has the empty one.</summary>
    public static string[] Paths(T value)
    {
        var leaves = new List<(string, Tensor)>();
        Kind.Walk(value, "", leaves);
        return [.. leaves.Select(l => l.Item1)];
    }

    /// <summary>A tree of the form of <paramref name="like"/> with other tensors.</summary>
    public static T Rebuild(T like, Tensor[] leaves) => (T)Kind.Build(like, new Queue<Tensor>(leaves));
}

/// <summary>How one .NET type is read as a tree of tensors.</summary>
internal abstract class Tree
{
    private static readonly ConcurrentDictionary<Type, Tree> Known = new();

    public abstract void Walk(object? value, string path, List<(string, Tensor)> leaves);

    public abstract object Build(object? like, Queue<Tensor> leaves);

    public static Tree Of(Type type) => Known.GetOrAdd(type, Make);

    private static Tree Make(Type type) =>
        type == typeof(Tensor) ? new Leaf()
        : type.IsSZArray ? new Items(type.GetElementType()!)
        : type.IsValueType && type.IsAssignableTo(typeof(ITuple)) ? new Components(type)
        : type == typeof(Parameter) ? throw new ArgumentException(
            "A Parameter is a cell, and what functions are traced with is none: pass it as a Tensor, (Tensor)parameter.")
        : throw new ArgumentException($"A tree is a tensor, or an array or a value tuple of trees; {type} is none.");

    private static string Join(string path, int i) => path.Length == 0 ? $"{i}" : $"{path}.{i}";

    private static T Present<T>(object? value, string path) where T : class =>
        value as T ?? throw new ArgumentException($"A tree of tensors must have no null{(path.Length == 0 ? "" : " at " + path)}.");

    private sealed class Leaf : Tree
    {
        public override void Walk(object? value, string path, List<(string, Tensor)> leaves) =>
            leaves.Add((path, Present<Tensor>(value, path)));

        public override object Build(object? like, Queue<Tensor> leaves) => leaves.Dequeue();
    }

    private sealed class Items(Type element) : Tree
    {
        private readonly Tree _each = Of(element);

        public override void Walk(object? value, string path, List<(string, Tensor)> leaves)
        {
            var items = Present<Array>(value, path);
            for (var i = 0; i < items.Length; i++)
            {
                _each.Walk(items.GetValue(i), Join(path, i), leaves);
            }
        }

        public override object Build(object? like, Queue<Tensor> leaves)
        {
            var items = (Array)like!;
            var result = Array.CreateInstance(element, items.Length);
            for (var i = 0; i < items.Length; i++)
            {
                result.SetValue(_each.Build(items.GetValue(i), leaves), i);
            }

            return result;
        }
    }

    private sealed class Components(Type type) : Tree
    {
        // Of eight components and more, the last field is a tuple of the rest: a tree like the others.
        private readonly (System.Reflection.FieldInfo Field, Tree Tree)[] _parts = [.. type.GetFields().Select(f => (f, Of(f.FieldType)))];

        public override void Walk(object? value, string path, List<(string, Tensor)> leaves)
        {
            for (var i = 0; i < _parts.Length; i++)
            {
                _parts[i].Tree.Walk(_parts[i].Field.GetValue(value), Join(path, i), leaves);
            }
        }

        public override object Build(object? like, Queue<Tensor> leaves) =>
            Activator.CreateInstance(type, [.. _parts.Select(p => p.Tree.Build(p.Field.GetValue(like), leaves))])!;
    }
}
