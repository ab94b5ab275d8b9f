"""Owns the GraphQL schema of the simulated Fly.io: the fields that deployment commands ask for."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphql import GraphQLSchema

SDL = """
scalar JSON
scalar ISO8601DateTime
scalar BigInt
scalar AllocateIPAddressInput
scalar ReleaseIPAddressInput
scalar ValidateWireGuardPeersInput
scalar AddWireGuardPeerInput
scalar IssueCertificateInput
scalar EnablePostgresConsulInput
scalar CreateLimitedAccessTokenInput
scalar DeleteLimitedAccessTokenInput
scalar LogOutInput
scalar AddOnType

type PageInfo { hasNextPage: Boolean! endCursor: String }
type User { id: ID! email: String name: String enablePaidHobby: Boolean }
type Macaroon { email: String }
union Viewer = User | Macaroon

type Token { id: ID! name: String token: String tokenHeader: String expiresAt: ISO8601DateTime user: User }
type Tokens { nodes: [Token!]! }
type AddOn { id: ID! name: String }
type AddOns { nodes: [AddOn!]! }

type Organization {
  id: ID! slug: String! rawSlug: String name: String! type: String internalNumericId: BigInt
  paidPlan: Boolean! billable: Boolean billingStatus: String viewerRole: String addOnSsoLink: String
  provisionsBetaExtensions: Boolean remoteBuilderImage: String remoteBuilderApp: App
  limitedAccessTokens: Tokens addOns(type: AddOnType, first: Int): AddOns
}
type Organizations { nodes: [Organization!]! pageInfo: PageInfo }

type Region {
  code: String! name: String! latitude: Float longitude: Float gatewayAvailable: Boolean
  requiresPaidPlan: Boolean deprecated: Boolean
}
type Platform { requestRegion: String regions: [Region!]! vmSizes: [JSON] }

type Release {
  id: ID! version: Int! description: String reason: String status: String imageRef: String stable: Boolean
  inProgress: Boolean evaluationId: String user: User createdAt: ISO8601DateTime configDefinition: JSON
  deploymentStrategy: String metadata: JSON
}
type Releases { nodes: [Release!]! }
type Image { id: ID! digest: String ref: String compressedSize: Int compressedSizeFull: BigInt manifest: JSON }
type ImageVersion { registry: String repository: String tag: String version: String digest: String }
type Network { name: String organization: Organization }
type IPAddress {
  id: ID! address: String! type: String! region: String createdAt: ISO8601DateTime network: Network serviceName: String
}
type IPAddresses { nodes: [IPAddress!]! }
type Config { definition: JSON }
type Role { name: String }
type Service { description: String protocol: String internalPort: Int ports: [JSON] }
type Machine { id: ID! name: String state: String region: String config: JSON createdAt: ISO8601DateTime }
type Machines { nodes: [Machine!]! }

type App {
  id: ID! internalNumericId: BigInt name: String! hostname: String cnameTarget: String deployed: Boolean!
  network: String status: String version: Int appUrl: String platformVersion: String
  organization: Organization! role: Role currentRelease: Release currentReleaseUnprocessed: Release
  releases(first: Int): Releases releasesUnprocessed(first: Int): Releases config: Config services: [Service!]
  ipAddresses: IPAddresses sharedIpAddress: String egressIpAddresses: IPAddresses
  image(ref: String!): Image imageDetails: ImageVersion imageUpgradeAvailable: Boolean machines: Machines
  limitedAccessTokens: Tokens
}
type Apps { nodes: [App!]! pageInfo: PageInfo }

type AllocateIPAddressPayload { ipAddress: IPAddress app: App }
type ReleaseIPAddressPayload { app: App clientMutationId: String }
type TokenPayload { limitedAccessToken: Token }
type TokenDeletion { token: String }
type WireGuardPeers { invalidPeerIps: [String!] }
type WireGuardPeer { peerip: String endpointip: String pubkey: String }
type IssuedCertificate { certificate: String key: String }
type Consul { consulUrl: String }
type LogOutPayload { ok: Boolean! }

type Query {
  viewer: Viewer
  organizations(admin: Boolean, type: String): Organizations
  organization(slug: String, id: ID): Organization
  platform: Platform
  nearestRegion: Region
  app(name: String): App
  apps(type: String, first: Int, after: String, organizationId: ID, role: String): Apps
  appNameAvailable(name: String!): Boolean
  latestImageTag(repository: String!, snapshotId: ID): String
  latestImageDetails(image: String!, flyVersion: String): ImageVersion
  canPerformBluegreenDeployment(name: String!): Boolean
}
type Mutation {
  allocateIpAddress(input: AllocateIPAddressInput!): AllocateIPAddressPayload
  releaseIpAddress(input: ReleaseIPAddressInput!): ReleaseIPAddressPayload
  createLimitedAccessToken(input: CreateLimitedAccessTokenInput!): TokenPayload
  deleteLimitedAccessToken(input: DeleteLimitedAccessTokenInput!): TokenDeletion
  validateWireGuardPeers(input: ValidateWireGuardPeersInput!): WireGuardPeers
  addWireGuardPeer(input: AddWireGuardPeerInput!): WireGuardPeer
  issueCertificate(input: IssueCertificateInput!): IssuedCertificate
  enablePostgresConsul(input: EnablePostgresConsulInput!): Consul
  logOut(input: LogOutInput): LogOutPayload
}
"""


@cache
def schema() -> GraphQLSchema:
    """Build the schema once."""
    from graphql import build_schema

    return build_schema(SDL)
