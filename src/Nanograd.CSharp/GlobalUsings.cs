// The core's names, apart from those of the facade: here `Tensor` and `DType` are the facade's own.
global using CoreType = Nanograd.DType;
global using Node = Nanograd.Tensor;
global using Ops = Nanograd.OpModule;
global using Zoo = Nanograd.Models;

using System.Runtime.CompilerServices;

[assembly: InternalsVisibleTo("Nanograd.CSharp.Tests")]
