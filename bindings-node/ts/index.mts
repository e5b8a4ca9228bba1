/** The same for `import`: one instance of every class, however a program loads the package. */

export * from "./index.js";
