// What the scripts of a clone start with: `#load "nanograd.fsx"`, then `open Nanograd`.
// It refers to the Release build, so build once before: dotnet build -c Release
// It opens nothing and defines nothing.
namespace global

#r "../src/Nanograd.Core/bin/Release/net10.0/Nanograd.Core.dll"
#r "../src/Nanograd.Models/bin/Release/net10.0/Nanograd.Models.dll"
