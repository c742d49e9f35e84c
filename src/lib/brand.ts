// SPDX-License-Identifier: Apache-2.0

/** A value of type T that only the parser of its kind can make: `Brand<string, 'EniId'>` is a string, but no string is one. */
export type Brand<T, Name extends string> = T & { readonly __brand: Name }
