// UIKit: a diffable data source that is told what has changed, and compares nothing.

import KalamLive
import UIKit

@MainActor
final class TaskTable {
    let source: UICollectionViewDiffableDataSource<Int, Int64>
    private var tasks: [Int64: Todo] = [:]

    init(_ view: UICollectionView) {
        var find: (Int64) -> Todo? = { _ in nil }
        let cell = UICollectionView.CellRegistration<UICollectionViewListCell, Int64> { cell, _, id in
            var content = cell.defaultContentConfiguration()
            content.text = find(id)?.title
            cell.contentConfiguration = content
        }
        source = UICollectionViewDiffableDataSource(collectionView: view) { view, path, id in
            view.dequeueConfiguredReusableCell(using: cell, for: path, item: id)
        }
        find = { [weak self] id in self?.tasks[id] }
    }

    func follow(_ live: LiveRows<Todo>) async throws {
        for try await rows in live { show(rows) }
    }

    private func show(_ rows: Rows<Todo>) {
        var snapshot = source.snapshot()
        for change in rows.changes {
            switch change {
            case .reset:
                tasks = Dictionary(uniqueKeysWithValues: rows.map { ($0.id, $0) })
                snapshot = NSDiffableDataSourceSnapshot()
                snapshot.appendSections([0])
                snapshot.appendItems(rows.map(\.id))
            case .remove(_, let task):
                tasks[task.id] = nil
                snapshot.deleteItems([task.id])
            case .insert(let index, let task):
                tasks[task.id] = task
                let shown = snapshot.itemIdentifiers
                if index < shown.count {
                    snapshot.insertItems([task.id], beforeItem: shown[index])
                } else {
                    snapshot.appendItems([task.id])
                }
            case .update(_, let task, _):
                tasks[task.id] = task
                snapshot.reconfigureItems([task.id])
            }
        }
        source.apply(snapshot, animatingDifferences: rows.changes.count < 200)
    }
}
