// SPDX-License-Identifier: Apache-2.0
import { invalid } from '../model/errors.ts'
import type { Params } from './params.ts'

/** The fields of a reply that tell the place of a page, beside its rows. */
export interface Page<T> {
  readonly rows: readonly T[]
  readonly fields: { readonly NextToken?: string; readonly TotalCount?: number; readonly PageNumber?: number; readonly PageSize?: number }
}

/** Where a page starts: the position of the row before it. Opaque to callers. */
const encode = (position: number) => Buffer.from(`p:${position}`).toString('base64url')

function decode(token: string): number {
  const match = /^p:(\d{1,15})$/.exec(Buffer.from(token, 'base64url').toString('latin1'))
  if (match === null) throw invalid('NextToken', 'it is none that this call returned')
  return Number(match[1])
}

/**
 * One page of rows. With MaxResults or NextToken: from the row after the token's, so that rows created or deleted meanwhile
 * shift nothing; a MaxResults below 10 counts as 10, one above `max` as `max` (reference of DescribeNetworkInterfaces). Otherwise by PageNumber and PageSize, with TotalCount. `position` must grow along the rows.
 */
export function page<T>(params: Params, rows: readonly T[], position: (row: T) => number, max: number): Page<T> {
  const token = params.text('NextToken')
  const size = params.integer('MaxResults', 0, 1_000_000)
  if (token !== undefined || size !== undefined) {
    const after = token === undefined ? -1 : decode(token)
    const rest = rows.filter(row => position(row) > after)
    const some = rest.slice(0, Math.min(max, Math.max(10, size ?? 10)))
    const last = some.at(-1)
    return { rows: some, fields: { NextToken: rest.length > some.length && last !== undefined ? encode(position(last)) : '' } }
  }
  const pageNumber = params.integer('PageNumber', 1, 1_000_000) ?? 1
  const pageSize = params.integer('PageSize', 1, max) ?? 10
  const start = (pageNumber - 1) * pageSize
  return {
    rows: rows.slice(start, start + pageSize),
    fields: { TotalCount: rows.length, PageNumber: pageNumber, PageSize: pageSize, NextToken: '' },
  }
}
