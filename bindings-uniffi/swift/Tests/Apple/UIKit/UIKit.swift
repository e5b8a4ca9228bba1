// As much of UIKit as examples/swift uses, for the tests where there is none: signatures as in Apple's; the data source keeps what it
// is given, and stops where UIKit would.

import Foundation

public struct UIListContentConfiguration { public var text: String? }

@MainActor open class UICollectionViewCell { public init() {} }

@MainActor public final class UICollectionViewListCell: UICollectionViewCell {
    public var contentConfiguration: UIListContentConfiguration?
    public func defaultContentConfiguration() -> UIListContentConfiguration { UIListContentConfiguration() }
}

@MainActor public final class UICollectionView {
    public init() {}

    public struct CellRegistration<Cell, Item> {
        let handler: (Cell, IndexPath, Item) -> Void
        public init(handler: @escaping (Cell, IndexPath, Item) -> Void) { self.handler = handler }
    }

    public func dequeueConfiguredReusableCell<Item>(
        using registration: CellRegistration<UICollectionViewListCell, Item>, for path: IndexPath, item: Item?
    ) -> UICollectionViewListCell {
        let cell = UICollectionViewListCell()
        registration.handler(cell, path, item!)
        return cell
    }
}

public struct NSDiffableDataSourceSnapshot<Section: Hashable & Sendable, Item: Hashable & Sendable>: Sendable {
    public private(set) var sectionIdentifiers: [Section] = []
    public private(set) var itemIdentifiers: [Item] = []
    public private(set) var reconfiguredItemIdentifiers: [Item] = []

    public init() {}

    public mutating func appendSections(_ sections: [Section]) { sectionIdentifiers += sections }

    public mutating func appendItems(_ items: [Item]) {
        precondition(!sectionIdentifiers.isEmpty, "there is no section")
        itemIdentifiers += items
        precondition(Set(itemIdentifiers).count == itemIdentifiers.count, "items are unique")
    }

    public mutating func deleteItems(_ items: [Item]) { itemIdentifiers.removeAll { items.contains($0) } }

    public mutating func insertItems(_ items: [Item], beforeItem item: Item) {
        itemIdentifiers.insert(contentsOf: items, at: itemIdentifiers.firstIndex(of: item)!)
        precondition(Set(itemIdentifiers).count == itemIdentifiers.count, "items are unique")
    }

    public mutating func reconfigureItems(_ items: [Item]) {
        precondition(items.allSatisfy { itemIdentifiers.contains($0) }, "an item that is there")
        reconfiguredItemIdentifiers += items
    }
}

@MainActor public final class UICollectionViewDiffableDataSource<Section: Hashable & Sendable, Item: Hashable & Sendable> {
    public typealias CellProvider = (UICollectionView, IndexPath, Item) -> UICollectionViewCell?

    private let view: UICollectionView
    private let provider: CellProvider
    private var shown = NSDiffableDataSourceSnapshot<Section, Item>()
    /// The texts that the view shows.
    public private(set) var texts: [Item: String?] = [:]

    public init(collectionView: UICollectionView, cellProvider: @escaping CellProvider) {
        (view, provider) = (collectionView, cellProvider)
    }

    public func snapshot() -> NSDiffableDataSourceSnapshot<Section, Item> {
        var copy = NSDiffableDataSourceSnapshot<Section, Item>()
        copy.appendSections(shown.sectionIdentifiers)
        if !shown.itemIdentifiers.isEmpty { copy.appendItems(shown.itemIdentifiers) }
        return copy
    }

    public func apply(_ snapshot: NSDiffableDataSourceSnapshot<Section, Item>, animatingDifferences: Bool = true) {
        let before = Set(shown.itemIdentifiers)
        shown = snapshot
        texts = texts.filter { snapshot.itemIdentifiers.contains($0.key) }
        for (i, item) in snapshot.itemIdentifiers.enumerated()
        where !before.contains(item) || snapshot.reconfiguredItemIdentifiers.contains(item) {
            let cell = provider(view, IndexPath(index: i), item) as? UICollectionViewListCell
            texts[item] = cell?.contentConfiguration?.text
        }
    }
}
